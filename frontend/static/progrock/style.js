// @ts-check
// How <prog-rock> looks where nobody styles it: plain, readable, in the colours and the font around it.

/**
 * A constructed sheet rather than a <style>: it needs no 'unsafe-inline' in anybody's Content-Security-Policy.
 */
export function style() {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
:host {
  --_ink: var(--prog-rock-ink, currentColor);
  --_track: var(--prog-rock-track, color-mix(in srgb, currentColor 18%, transparent));
  --_fill: var(--prog-rock-fill, light-dark(#1a5fb4, #78aeed));
  --_bad: var(--prog-rock-bad, light-dark(#a51d2d, #ff938c));
  --_height: var(--prog-rock-height, 0.5em);
  display: block;
  color: var(--_ink);
}
:host([hidden]), [hidden] { display: none !important; }
[part=base] { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.25em; }
[part=head], [part=foot] { display: flex; gap: 0.25em 1em; justify-content: space-between; align-items: baseline; }
[part=title] { font-weight: 600; overflow-wrap: anywhere; }
[part=percent] { flex: none; white-space: nowrap; font-variant-numeric: tabular-nums; text-align: end; }
[part=bar] {
  block-size: var(--_height); overflow: hidden;
  background: var(--_track); border-radius: calc(var(--_height) / 2);
}
[part=fill] {
  block-size: 100%; inline-size: 100%; background: var(--_fill);
  transform: scaleX(var(--_progress, 0)); transform-origin: 0 50%; transition: transform 0.3s linear;
}
:dir(rtl) [part=fill] { transform-origin: 100% 50%; }
[part=words] { display: flex; flex-wrap: wrap; gap: 0 0.75em; min-inline-size: 0; font-size: 0.875em; overflow-wrap: anywhere; }
[part=actions] { display: flex; flex: none; gap: 0 1em; align-items: baseline; justify-content: end; font-size: 0.875em; }
[part=left] { white-space: nowrap; font-variant-numeric: tabular-nums; }
button { font: inherit; }
button[aria-disabled=true] { opacity: 0.65; cursor: default; }
a { color: inherit; }
:host([condition]) [part=fill] { opacity: 0.55; }
:host([state=failed]) [part=fill], :host([state=cancelled]) [part=fill] { background: var(--_ink); opacity: 0.35; }
:host([state=failed]) [part=status] { color: var(--_bad); font-weight: 600; }
[part=live] {
  position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
:focus-visible { outline: 2px solid var(--_ink); outline-offset: 2px; }
@media (prefers-reduced-motion: reduce) { [part=fill] { transition: none; } }
@media (forced-colors: active) {
  [part=bar] { border: 1px solid CanvasText; }
  [part=fill] { background: Highlight !important; forced-color-adjust: none; }
}
`);
  return sheet;
}

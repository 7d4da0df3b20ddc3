// @ts-check
// How the elements look where nobody styles them: plain, readable, in the colours and the font around them.

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** The one sheet of all elements. A constructed one needs no 'unsafe-inline' in anybody's Content-Security-Policy. */
export function style() {
  if (sheet) return sheet;
  sheet = new CSSStyleSheet();
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
:dir(rtl) [part=fill], [part=fill]:dir(rtl) { transform-origin: 100% 50%; }
[part=words] { display: flex; flex-wrap: wrap; gap: 0 0.75em; min-inline-size: 0; font-size: 0.875em; overflow-wrap: anywhere; }
[part=actions] { display: flex; flex: none; gap: 0 1em; align-items: baseline; justify-content: end; font-size: 0.875em; }
[part=left] { white-space: nowrap; font-variant-numeric: tabular-nums; }
[part=journal] {
  margin: 0; padding: 0.5em 0.75em; max-block-size: 10em; overflow: auto; list-style: none;
  border: 1px solid var(--_track); font-size: 0.875em; overflow-wrap: anywhere; white-space: pre-wrap;
}
[part~=warning], [part~=error] { font-weight: 600; }
[part~=error], :host([state=failed]) [part=status] { color: var(--_bad); font-weight: 600; }
button { font: inherit; }
button[aria-disabled=true] { opacity: 0.65; cursor: default; }
a { color: inherit; }
:host([state=running]) [part=bar]:not([aria-valuenow]) [part=fill] {
  inline-size: 25%; transform: none; animation: 2s ease-in-out infinite alternate wander;
}
@keyframes wander { to { margin-inline-start: 75%; } }
:host([condition]) [part=fill] { opacity: 0.55; animation-play-state: paused !important; }
:host([state=failed]) [part=fill], :host([state=cancelled]) [part=fill] { background: var(--_ink); opacity: 0.35; }
[part=live] {
  position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
:focus-visible { outline: 2px solid var(--_ink); outline-offset: 2px; }
::slotted(prog-rock) { margin-block-end: 1em; }
:host(prog-rock-toasts) {
  position: fixed; inset-block-end: 0; inset-inline-end: 0; z-index: 9; max-inline-size: min(24em, 100%);
  color: var(--prog-rock-toast-ink, CanvasText); pointer-events: none;
}
[part~=toast] {
  display: flex; gap: 1em; justify-content: space-between; align-items: start; margin: 0 1em 1em; padding: 0.75em 1em;
  background: var(--prog-rock-toast, Canvas); border: 1px solid; overflow-wrap: anywhere; pointer-events: auto;
}
[part~=toast] :first-child { flex: 1; }
[part~=toast] :is([part=status], [part=message]) { font-size: 0.875em; }
[part=dismiss] { padding: 0 0.4em; border: 0; background: none; color: inherit; line-height: 1.25; cursor: pointer; }
@media (prefers-reduced-motion: reduce) {
  [part=fill] { transition: none; }
  :host([state=running]) [part=bar]:not([aria-valuenow]) [part=fill] { animation: none; inline-size: 100%; opacity: 0.25; }
}
@media (forced-colors: active) {
  [part=bar] { border: 1px solid CanvasText; }
  [part=fill] { background: Highlight !important; forced-color-adjust: none; }
}
`);
  return sheet;
}

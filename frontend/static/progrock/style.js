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
  display: block; color: var(--_ink); overflow-wrap: anywhere;
}
:host([hidden]), [hidden] { display: none !important; }
[part=base] { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.25em; }
[part=head], [part=foot] { display: flex; gap: 0.25em 1em; justify-content: space-between; align-items: baseline; }
[part=title], [part~=warning], [part~=error], :host([state=failed]) [part=status] { font-weight: 600; }
[part=percent], [part=left] { flex: none; white-space: nowrap; font-variant-numeric: tabular-nums; }
[part=bar] { block-size: var(--_height); overflow: hidden; background: var(--_track); border-radius: calc(var(--_height) / 2); }
[part=fill] {
  block-size: 100%; background: var(--_fill); transform: scaleX(var(--_progress, 0)); transform-origin: 0 50%; transition: transform 0.3s linear;
}
[part=fill]:dir(rtl) { transform-origin: 100% 50%; }
[part=foot] { flex-wrap: wrap; }
[part=words] { display: flex; flex: 1 1 12em; flex-wrap: wrap; gap: 0 0.75em; min-inline-size: 0; }
[part=actions] { display: flex; flex: none; flex-wrap: wrap; max-inline-size: 100%; gap: 0 1em; align-items: baseline; margin-inline-start: auto; }
[part=words], [part=actions], [part=journal], [part~=toast] :is([part=status], [part=message]) { font-size: 0.875em; }
[part=journal] {
  margin: 0; padding: 0.5em 0.75em; max-block-size: 10em; overflow: auto; list-style: none; border: 1px solid var(--_track); white-space: pre-wrap;
}
[part~=error], :host([state=failed]) [part=status] { color: var(--_bad); }
button { font: inherit; }
button[aria-disabled=true] { opacity: 0.65; cursor: default; }
a { color: inherit; }
:host([state=running]) [part=bar]:not([aria-valuenow]) [part=fill] { inline-size: 25%; transform: none; animation: 2s ease-in-out infinite alternate wander; }
@keyframes wander { to { margin-inline-start: 75%; } }
:host([condition]) [part=fill] { opacity: 0.55; animation-play-state: paused !important; }
:host([state=failed]) [part=fill], :host([state=cancelled]) [part=fill] { background: var(--_ink); opacity: 0.35; }
[part=live] { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid; outline-offset: 2px; }
::slotted(prog-rock) { margin-block-end: 1em; }
:host(prog-rock-toasts) {
  position: fixed; inset-block-end: 0; inset-inline-end: 0; z-index: 9; max-inline-size: min(24em, 100%);
  color: var(--prog-rock-toast-ink, CanvasText); pointer-events: none;
}
[part~=toast] {
  display: flex; justify-content: space-between; align-items: start; gap: 1em; margin: 0 1em 1em; padding: 0.75em 1em;
  background: var(--prog-rock-toast, Canvas); border: 1px solid; pointer-events: auto;
}
[part=dismiss] { font: 1.5em/1 sans-serif; padding: 0 0.25em; border: 0; background: none; color: inherit; cursor: pointer; }
@media (prefers-reduced-motion: reduce) {
  [part=fill] { transition: none; }
  :host([state=running]) [part=bar]:not([aria-valuenow]) [part=fill] { animation: none; inline-size: auto; opacity: 0.25; }
}
@media (forced-colors: active) {
  [part=bar] { border: 1px solid; }
  [part=fill] { background: Highlight !important; forced-color-adjust: none; }
}
`);
  return sheet;
}

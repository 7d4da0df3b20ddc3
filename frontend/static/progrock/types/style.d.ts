/** The one sheet of all elements. A constructed one needs no 'unsafe-inline' in anybody's Content-Security-Policy. */
export function style(): CSSStyleSheet;

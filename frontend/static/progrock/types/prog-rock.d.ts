/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} part @param {(Node | string)[]} children */
export function element<T extends keyof HTMLElementTagNameMap>(tag: T, part: string, ...children: (Node | string)[]): HTMLElementTagNameMap[T];
/** @param {string} [name] @param {Node[]} fallback */
export function slot(name?: string, ...fallback: Node[]): HTMLSlotElement;
export function define(name: string, type: CustomElementConstructor): void | CustomElementConstructor;
export function clientOf(host: HTMLElement, options?: import("./client.js").Options): ProgRock;
/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockElement extends HTMLElement {
    static observedAttributes: string[];
    /** The last snapshot, or null before the first. @returns {Snapshot | null} */
    get snapshot(): Snapshot | null;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} _ @param {string | null} before @param {string | null} now */
    attributeChangedCallback(_: string, before: string | null, now: string | null): void;
    /** Ask for the job to be cancelled; what comes of it is shown. @returns {Promise<void>} */
    cancel(): Promise<void>;
    /** Ask for a job that is over to be tried again; the new job takes its place here. @returns {Promise<void>} */
    retry(): Promise<void>;
    #private;
}
export type Snapshot = import("./snapshot.js").Snapshot;
/**
 * of a journal
 */
export type Line = {
    n: number;
    level: string;
    text: string;
};
import { ProgRock } from './client.js';

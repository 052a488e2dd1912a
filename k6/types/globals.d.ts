// What k6 has and its types do not tell of.
declare const console: { log(text: string): void; error(text: string): void };

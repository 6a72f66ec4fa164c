// What is on the screen as a command and as programs, to copy.
import type { SearchState } from "../state";
import { commandText } from "./command";
import { grpcurlText } from "./grpcurl";
import { pythonText } from "./python";
import { typescriptText } from "./typescript";

/** The search of a state, and the weights that it asks for, where they were moved. */
export interface Request {
  readonly state: SearchState;
  readonly weights: Readonly<Record<string, number>> | undefined;
}

const TEXTS = { lapel: commandText, Python: pythonText, TypeScript: typescriptText, grpcurl: grpcurlText };

/** Languages and tools. */
export type Form = keyof typeof TEXTS;
export const FORMS = Object.keys(TEXTS) as readonly Form[];

// More digits than tell two items apart.
const DIGITS = 6;

/** The request in a language, or as a tool takes it. */
export function requestText(form: Form, { state, weights }: Request): string {
  const shown = weights && Object.entries(weights).map(([head, weight]) => [head, Number(weight.toPrecision(DIGITS))] as const);
  return TEXTS[form]({ state, weights: shown && Object.fromEntries(shown) });
}

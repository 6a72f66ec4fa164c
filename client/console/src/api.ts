// The server: one client, the token of this session, and how long calls took.
import { signal } from "@preact/signals";
import { Code, LapelError } from "@lapel/client";
import { connect } from "@lapel/client/web";

const TOKEN_KEY = "lapel.token";

/** Whether the server wants a token, or another one. */
export const tokenWanted = signal(false);

/** The server's address: that of this page, base path included. */
export const serverUrl = new URL(".", location.href).href.replace(/\/$/, "");

export const lapel = connect({
  baseUrl: serverUrl,
  token: () => sessionStorage.getItem(TOKEN_KEY) ?? undefined,
});

/** Keeps a token for this session, and begins anew with it; says why where the server does not take it. */
export async function signIn(token: string): Promise<string> {
  const authorization = `Bearer ${token.trim()}`;
  // With a cookie for the console's own files; where those come from elsewhere, as in development, there is none to get.
  const answer = await fetch(`${serverUrl}/sign-in`, { method: "POST", headers: { authorization } });
  if (answer.status === 401 || answer.status === 403) return await answer.text();
  sessionStorage.setItem(TOKEN_KEY, token.trim());
  location.reload();
  return "";
}

/** Forgets the token and the cookie. */
export async function signOut(): Promise<void> {
  sessionStorage.removeItem(TOKEN_KEY);
  // Where the server cannot be reached, the cookie is left to the end of the browser's session.
  await fetch(`${serverUrl}/sign-out`, { method: "POST" }).catch(() => {});
  location.reload();
}

export function hasToken(): boolean {
  return sessionStorage.getItem(TOKEN_KEY) !== null;
}

/** The error of a failed call; asks for a token where that is what is missing. */
export function failure(cause: unknown): LapelError {
  const error = cause instanceof LapelError ? cause : new LapelError(cause);
  if (error.code === Code.Unauthenticated) tokenWanted.value = true;
  return error;
}

/** How long a call took, as this browser saw it. */
export interface Timing {
  readonly what: string;
  readonly ms: number;
}

const TIMINGS_MAX = 2000;

/** The last calls that were timed. */
export const timings = signal<readonly Timing[]>([]);

/** Times a call. */
export async function timed<T>(what: string, call: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const start = performance.now();
  const answer = await call();
  const ms = performance.now() - start;
  timings.value = [...timings.value.slice(1 - TIMINGS_MAX), { what, ms }];
  return { answer, ms };
}

// Photos that were dropped, pasted or picked: kept for this session, so that reloading and going back find them.
import { newRequestId } from "@lapel/client";

/** Kinds of files that the server reads as photos. */
export const PHOTO_TYPES = "image/jpeg,image/png,image/webp";

const PREFIX = "lapel.photo.";
const photos = new Map<string, Uint8Array>();

/** Keeps a photo and gives the key that stands for it in the address. */
export function keepPhoto(bytes: Uint8Array): string {
  const key = newRequestId().slice(0, 8);
  photos.set(key, bytes);
  try {
    sessionStorage.setItem(PREFIX + key, toBase64(bytes));
  } catch {
    // The session's store is full: the photo is there until the page is closed or loaded anew.
  }
  return key;
}

/** The photo of a key; `undefined` where this session has it no more. */
export function photoOf(key: string): Uint8Array | undefined {
  const stored = photos.get(key) ?? fromBase64(sessionStorage.getItem(PREFIX + key));
  if (stored) photos.set(key, stored);
  return stored;
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

function fromBase64(text: string | null): Uint8Array | undefined {
  return text === null ? undefined : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** The first picture among what was dropped or pasted. */
export function imageOf(given: DataTransfer | null): File | undefined {
  return [...(given?.files ?? [])].find((file) => file.type.startsWith("image/"));
}

export async function bytesOf(file: File): Promise<Uint8Array> {
  return new Uint8Array(await file.arrayBuffer());
}

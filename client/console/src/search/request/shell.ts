// Words of a shell's command line.

/** A word, in quotes where it holds what a shell would read. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

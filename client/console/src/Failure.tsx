// An error, with everything the server says of it.
import { Code, type LapelError } from "@lapel/client";

export function Failure({ error, retry }: { error: LapelError | undefined; retry?: () => void }) {
  if (!error) return null;
  // The only fault is often the whole message.
  const faults = error.faults.filter(({ description }) => description !== error.message);
  const unreachable = error.code === Code.Unavailable || (error.code === Code.Unknown && error.reason === "");
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{error.status}</strong> {error.message}
        {error.reason !== "" && error.reason !== error.status && <code> {error.reason}</code>}
      </p>
      {faults.length > 0 && (
        <ul>
          {faults.map(({ field, description }) => (
            <li key={field + description}>
              {field && <code>{field}</code>} {description}
            </li>
          ))}
        </ul>
      )}
      {unreachable && <p>Is the server running, and reachable from here?</p>}
      {retry && <button onClick={retry}>Try again</button>}
    </div>
  );
}

// That the server is waited for: a bar at once, words when it takes long. Both lie above the page, so that nothing moves.
import { useEffect, useState } from "preact/hooks";
import { pending } from "./load";

const LONG_MS = 3000;

export function Loading() {
  const waiting = pending.value > 0;
  const [long, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (!waiting) return;
    const timer = setTimeout(() => setLong(true), LONG_MS);
    return () => clearTimeout(timer);
  }, [waiting]);
  return (
    <div class="loading" role="status">
      {waiting && <div class="loading-bar" />}
      {waiting && long && <p>Still loading: the server or the network is slow.</p>}
    </div>
  );
}

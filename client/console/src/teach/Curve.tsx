// How the accuracy comes as examples are added.
import { percent } from "../numbers";

export interface Point {
  readonly examples: number;
  readonly accuracy: number;
  readonly low: number;
  readonly high: number;
  readonly majority: number;
}

const WIDTH = 280;
const HEIGHT = 110;

export function Curve({ points }: { points: readonly Point[] }) {
  const last = points.at(-1);
  // One alone shows no way.
  if (!last || points.length < 2) return null;
  const most = Math.max(...points.map(({ examples }) => examples));
  const least = Math.min(...points.map(({ examples }) => examples), most - 1);
  const x = (examples: number) => 6 + ((WIDTH - 12) * (examples - least)) / (most - least);
  const y = (share: number) => 4 + (HEIGHT - 8) * (1 - share);
  const ordered = [...points].sort((a, b) => a.examples - b.examples);
  const line = (share: (point: Point) => number) => ordered.map((point) => `${x(point.examples)},${y(share(point))}`).join(" ");
  return (
    <figure class="curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`accuracy ${percent(last.accuracy)} at ${last.examples} examples`}>
        <line x1="0" x2={WIDTH} y1={y(1)} y2={y(1)} />
        <line x1="0" x2={WIDTH} y1={y(0.5)} y2={y(0.5)} />
        <line x1="0" x2={WIDTH} y1={y(0)} y2={y(0)} />
        {ordered.map((point) => (
          <line key={point.examples} class="interval" x1={x(point.examples)} x2={x(point.examples)} y1={y(point.low)} y2={y(point.high)} />
        ))}
        <polyline class="majority" points={line(({ majority }) => majority)} />
        <polyline class="accuracy" points={line(({ accuracy }) => accuracy)} />
        {ordered.map((point) => (
          <circle key={point.examples} cx={x(point.examples)} cy={y(point.accuracy)} r="3">
            <title>{`${point.examples} examples: ${percent(point.accuracy)}`}</title>
          </circle>
        ))}
      </svg>
      <figcaption class="quiet">
        accuracy by examples, 0 to 100 %, with its 95 % interval; dashed: always the most frequent label
      </figcaption>
    </figure>
  );
}

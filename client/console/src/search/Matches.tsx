// An item's labels beside what was wanted.
import { AttributeOutcome, type AttributeMatch } from "@lapel/client/v1";

/** Labels changed as asked, kept, and different. */
export function Matches({ matches }: { matches: readonly AttributeMatch[] }) {
  const groups: [string, string, AttributeMatch[]][] = [
    ["Changed as asked", "good", matches.filter((match) => match.outcome === AttributeOutcome.CHANGED)],
    ["Asked for and not there", "bad", matches.filter((match) => match.edited && match.outcome !== AttributeOutcome.CHANGED)],
    ["Kept", "good", matches.filter((match) => match.outcome === AttributeOutcome.KEPT)],
    ["Different", "", matches.filter((match) => !match.edited && match.outcome === AttributeOutcome.DIFFERS)],
    ["Not known", "quiet", matches.filter((match) => !match.edited && match.outcome === AttributeOutcome.UNKNOWN && match.found !== "")],
  ];
  return (
    <dl class="matches">
      {groups
        .filter(([, , found]) => found.length > 0)
        .map(([title, tone, found]) => (
          <div key={title}>
            <dt class={tone}>{title}</dt>
            <dd>
              <ul>
                {found.map((match) => (
                  <li key={match.attribute}>
                    <span class="quiet">{match.attribute.replaceAll("_", " ")}</span> {match.found || "not known"}
                    {match.predicted && <span class="quiet"> {match.unsure ? "(a guess)" : "(predicted)"}</span>}
                    {match.wanted !== "" && match.found !== match.wanted && <span class="quiet"> for {match.wanted}</span>}
                  </li>
                ))}
              </ul>
            </dd>
          </div>
        ))}
    </dl>
  );
}

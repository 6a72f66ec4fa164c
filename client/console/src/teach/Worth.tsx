// What a head tells of examples that it did not learn from.
import type { HeadWorth } from "@lapel/client/v1";
import { percent } from "../numbers";
import { Picture } from "../pictures";
import { Row, Table, number } from "../Table";

const COLUMNS = ["label", number("examples"), number("told right"), "taken for"];

export function Worth({ worth }: { worth: HeadWorth }) {
  const { accuracy, majority, balancedAccuracy, calibrationError, hasSignal } = worth;
  return (
    <div class="worth">
      <p>
        <strong>{percent(accuracy?.value ?? 0)}</strong> told right{" "}
        <span class="quiet">
          ({percent(accuracy?.low ?? 0)} to {percent(accuracy?.high ?? 0)}); a guess would tell {percent(majority)}; balanced{" "}
          {percent(balancedAccuracy)}; calibration error {calibrationError.toFixed(3)}
        </span>
        {!hasSignal && <span class="warn"> The examples do not show that it tells anything.</span>}
      </p>
      <Table columns={COLUMNS}>
        {worth.labels.map(({ label, examples, recall, told }) => (
          <Row key={label} columns={COLUMNS} cells={[label, `${examples}`, percent(recall), takenFor(label, told)]} />
        ))}
      </Table>
      {worth.doubtful.length > 0 && (
        <details>
          <summary>Perhaps mislabelled: {worth.doubtful.length}</summary>
          <ul class="doubtful">
            {worth.doubtful.map(({ itemId, label, told, probability }) => (
              <li key={itemId}>
                <Picture id={itemId} />
                <span>
                  {itemId}
                  <br />
                  {label}, looks like {told} <span class="quiet">{percent(probability)}</span>
                </span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}

/** The other labels that examples of one were taken for. */
function takenFor(label: string, told: Readonly<Record<string, unknown>>): string {
  const others = Object.entries(told).filter(([other]) => other !== label);
  return others.map(([other, number]) => `${other} ${number}`).join(", ");
}

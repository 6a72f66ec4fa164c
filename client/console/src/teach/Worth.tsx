// What a head tells of examples that it did not learn from.
import type { HeadWorth } from "@lapel/client/v1";
import { percent } from "../numbers";
import { Picture } from "../pictures";

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
      <table>
        <thead>
          <tr>
            <th scope="col">label</th>
            <th scope="col" class="number">
              examples
            </th>
            <th scope="col" class="number">
              told right
            </th>
            <th scope="col">taken for</th>
          </tr>
        </thead>
        <tbody>
          {worth.labels.map(({ label, examples, recall, told }) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              <td class="number">{`${examples}`}</td>
              <td class="number">{percent(recall)}</td>
              <td>
                {Object.entries(told)
                  .filter(([other]) => other !== label)
                  .map(([other, number]) => `${other} ${number}`)
                  .join(", ")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
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

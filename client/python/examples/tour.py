"""A tour of Lapel from Python, in cells: describe, search, edit, pick, teach, export.

Start the demo (`cargo run --release --bin lapel-server -- demo`), then run this file whole, or cell by cell in an editor:

    python client/python/examples/tour.py
"""

# %% Connect: LAPEL_SERVER and LAPEL_TOKEN say where and as whom, else it is the demo on this machine.
from pathlib import Path

import lapel

PHOTO = Path(__file__).resolve().parents[3] / "examples/queries/dress.jpg"
client = lapel.Client()

# %% What does the server see?
for seen in client.describe(PHOTO).attributes:
    best = seen.labels[0]
    print(f"{seen.attribute:15} {best.label:12} {best.probability:4.0%}{'  (unsure)' if seen.unsure else ''}")

# %% The nearest items; then the same with short sleeves.
for manipulations in ({}, {"sleeve_length": "short"}):
    answer = client.search(image=PHOTO, manipulations=manipulations, k=5)
    print([(result.item_id, round(result.distance, 2)) for result in answer.results])

# %% Only some items, colour counts twice, and why the first one is first.
dresses = lapel.filters.label("category", "dress", "skirt")
answer = client.search(image=PHOTO, filter=dresses, weights={"color": 2.0}, explain=True, k=3)
for term in answer.results[0].explanation.terms:
    print(f"{term.head:15} {term.weight:.2f} x {term.distance:.2f} = {term.contribution:.2f}")

# %% A shopper picks two items: weights, a profile, and a search with it.
picked = [result.item_id for result in answer.results[:2]]
learnt = client.personalise(picked, image=PHOTO)
client.profiles.save("tour", dict(learnt.weights), picked_ids=picked)
print(client.search(image=PHOTO, profile="tour", k=3).results[0].item_id)
client.profiles.delete("tour")

# %% Teach an attribute by showing items of two labels; what it would be worth is told before anything is registered.
ids = {
    label: [item.id for item in client.items.list(lapel.filters.label("sleeve_length", *sleeves))][:20]
    for label, sleeves in {"bare": ("sleeveless", "short"), "covered": ("long",)}.items()
}
worth = client.heads.teach("arms", items=ids, dry_run=True).worth
print(f"{worth.accuracy.value:.0%} of {worth.examples} examples told right, {worth.majority:.0%} by guessing")

# %% The catalogue as arrays: what looks most like the first item in colour?
catalog = client.items.to_numpy()
color = catalog.signatures["color"]
print(catalog.ids[(color @ color[0]).argsort()[::-1][:5]])

# %% Errors are exceptions that name every bad field.
try:
    client.search(item_id="nobody", manipulations={"colour": "red"})
except lapel.LapelError as error:
    print(error)

# %%
client.close()

"""GenerationService: another backbone with its heads, built beside, switched to, rolled back and dropped."""

import bundles
import photos
from protocol import like, v1

ACTIVE, STANDBY, RETIRED = v1.HEAD_STATE_ACTIVE, v1.HEAD_STATE_STANDBY, v1.HEAD_STATE_RETIRED


def files():
    """The paper's model with one head."""
    kinds = {
        "alexnet_features": v1.GENERATION_FILE_BACKBONE,
        "extract_parts": v1.GENERATION_FILE_EXTRACT_PARTS,
        "general": v1.GENERATION_FILE_HEAD,
    }
    return [(kind, (bundles.ALEXNET / f"{name}.safetensors").read_bytes()) for name, kind in kinds.items()]


def states(client):
    """The states of all generations, the one that serves first."""
    return [one.state for one in client.generations.ListGenerations(v1.ListGenerationsRequest()).generations]


def test_a_generation_is_built_switched_to_rolled_back_and_dropped(start, connect):
    client = connect(start())
    items = photos.wardrobe(50)
    client.store(*items)
    built = bundles.build(client, files(), hold=True)
    assert built.state == v1.HEAD_STATE_BACKFILLING
    watched = list(client.generations.WatchGeneration(v1.WatchGenerationRequest()))[-1].generation
    assert (watched.backbone, watched.state) == (built.backbone, STANDBY), watched.failure
    again = bundles.build_at_once(client, files(), hold=True)
    assert (again.backbone, again.state) == (built.backbone, STANDBY), "the same files in one message"
    switched = client.generations.SwitchGeneration(v1.SwitchGenerationRequest(backbone=built.backbone))
    assert (switched.generation.state, states(client)) == (ACTIVE, [ACTIVE, STANDBY])
    answer = client.search.Search(like(items[0].id))
    assert (answer.generation, list(answer.weights)) == (switched.number, ["general"])
    client.generations.SwitchGeneration(v1.SwitchGenerationRequest())
    assert len(client.search.Search(like(items[0].id)).weights) == 11
    dropped = client.generations.DropGeneration(v1.DropGenerationRequest(backbone=built.backbone)).generation
    assert (dropped.backbone, dropped.state) == (built.backbone, RETIRED)
    assert states(client)[0] == ACTIVE and STANDBY not in states(client)

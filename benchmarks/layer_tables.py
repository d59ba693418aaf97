"""Tables of docs/benchmarks.md on single layers and networks beside escnn, torch-harmonics and e3nn."""

from collections.abc import Callable

Table = tuple[list[str], list[list[str]]]
"""Head and rows."""


def attention(document: dict, _: str) -> Table:
    """Equivariant attention beside the same in e3nn."""
    head = ["system", "atoms, edges", "", "mode", "symnets, ms", "e3nn, ms", "e3nn / symnets", "range"]
    rows = [
        [
            row["system"],
            f"{row['atoms']}, {row['edges']:,}",
            row["part"],
            row["mode"],
            *(f"{row['ms'][name]:,.0f}" for name in ("symnets", "e3nn")),
            f"**{row['e3nn_over_symnets']:.1f}**",
            "{:.1f} to {:.1f}".format(*row["range"]),
        ]
        for row in document["rows"]
    ]
    return head, rows


def voxels(document: dict, _: str) -> Table:
    """Convolutions of voxels beside escnn."""
    head = ["case", "grid, batch", "", "symnets, ms", "escnn, ms", "escnn / symnets", "quartiles"]
    rows = [
        [
            f"{row['case']}: {row['irreps'][0]} to {row['irreps'][1]}",
            f"{row['grid']}³, {row['batch']}",
            mode,
            f"{1000 * row[f'{mode}_seconds']:,.0f}",
            f"{1000 * row[f'{mode}_escnn_seconds']:,.0f}",
            f"**{row[f'{mode}_escnn_over_symnets']:.2f}**",
            "{:.2f} to {:.2f}".format(*row[f"{mode}_quartiles_of_ratios"]),
        ]
        for row in document["rows"]
        for mode in ("forward", "step")
    ]
    return head, rows


def plane(document: dict, _: str) -> Table:
    """Circular convolutions and a harmonic network beside escnn."""
    head = ["case", "", "symnets, ms", "escnn, ms", "escnn / symnets", "quartiles"]
    rows = [
        [
            row["case"],
            row["what"],
            *(f"{row['milliseconds'][name]:,.0f}" for name in ("symnets", "escnn")),
            f"**{row['escnn_over_symnets']:.2f}**",
            "{:.2f} to {:.2f}".format(*row["quartiles_of_ratios"]),
        ]
        for row in document["rows"]
    ]
    return head, rows


def sphere(document: dict, _: str) -> Table:
    """Transforms on the sphere and on rotations beside torch-harmonics and e3nn."""
    head = ["domain, lmax", "grid", "", "symnets, ms", "peer", "peer, ms", "peer / symnets"]
    rows = []
    for row in document["rows"]:
        for what, milliseconds in row["milliseconds"].items():
            for peer, ratio in row["ratio_to_symnets"][what].items():
                where = " x ".join(map(str, row["grid"]))
                rows.append(
                    [
                        f"{row['domain']}, {row['lmax']}",
                        where,
                        what,
                        f"{milliseconds['symnets']:.1f}",
                        peer,
                        f"{milliseconds[peer]:.1f}",
                        f"**{ratio:.2f}**",
                    ]
                )
    return head, rows


LAYER_TABLES: dict[str, Callable[[dict, str], Table]] = {
    "attention": attention,
    "voxels": voxels,
    "plane": plane,
    "sphere": sphere,
}

"""docs/observability.md names the metrics that there are."""

from pathlib import Path

from onesocket.instruments._metrics import METRICS, label

ROOT = Path(__file__).resolve().parents[3]


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    table = text.partition("<!-- metrics:begin -->")[2].partition("<!-- metrics:end -->")[0].strip().splitlines()
    rows = [
        f"| `{metric.name}` | `{metric.unit}` | `{metric.series_name}` | "
        f"{', '.join(f'`{name}`' for name in metric.attributes)} | {metric.description} |".replace("|  |", "| |")
        for metric in METRICS
    ]
    assert table[2:] == rows
    assert label("server.address") == "server_address"

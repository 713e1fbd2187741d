"""Files of trials: tables of their times in seconds, beside a recording."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_trial_file(path: str | Path) -> pd.DataFrame:
    """A table of trials from a file: "start_time" and "stop_time" under one of their usual names, and other columns.

    Args:
        path: A file of comma- or tab-separated text (.csv, .tsv) or Parquet (.parquet).

    Raises:
        DataError: If there is no such file, it is no table, or has no rows.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (*SEPARATORS, ".parquet"):
        raise DataError(f"trials is '{path}', but must be a file that ends in .csv, .tsv or .parquet.")
    if not path.is_file():
        raise DataError(f"there is no file of trials {path}; check the path.")
    try:
        table = pd.read_parquet(path) if ending == ".parquet" else pd.read_csv(path, sep=SEPARATORS[ending])
    except ImportError:
        raise DataError(f"{path} is Parquet, which needs pyarrow; install it, or save the table as .csv.") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        detail = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(f"the file of trials {path} cannot be read as a table ({detail}); correct it.") from None
    if not len(table):
        raise DataError(f"the file of trials {path} has no rows; name one that has.")
    table.columns = [str(name).strip() for name in table]
    return as_trial_table(table)

"""Guards of `verify`."""

from tests.mutants.row import HOSTILE, Mutant

ROWS = (
    Mutant(
        "verify reads each chunk",
        "curation/verify/cubes.py",
        "if slot not in chunks or chunk_hash(chunks[slot]) != its_hash:",
        "if slot not in chunks:",
        ("tests/verify/test_verify.py::test_a_chunk_swapped_within_its_shard",),
    ),
    Mutant(
        "verify proves each row of facts",
        "curation/verify/cubes.py",
        "if o.id in settled and hashes[o.id] != o.facts}",
        "if False}",
        ("tests/cubes/test_row_hashes.py::test_damage_in_facts_is_not_made_official_by_a_build_of_more_patches",),
    ),
    Mutant(
        "verify compares each object with its digest",
        "curation/verify/found.py",
        "return len(data) == item.size and hashlib.sha256(data).hexdigest() == item.sha256",
        "return len(data) == item.size",
        ("tests/verify/test_verify.py::test_a_flipped_byte_in_a_zarr_object",),
    ),
    Mutant(
        "verify refuses counts of another form",
        "curation/verify/shards.py",
        "if odd or any(type(n) is not int for of in by_cube.values() for n in of.values()):",
        "if False:",
        (f"{HOSTILE}verify_names_counts_of_another_form",),
    ),
    Mutant(
        "verify names an index that is none",
        "curation/verify/shards.py",
        "        index = Index.from_bytes(data, store.where(INDEX))\n    except DamageError as err:",
        "        index = Index.from_bytes(data, store.where(INDEX))\n    except ZeroDivisionError as err:",
        (f"{HOSTILE}verify_names_a_fault_of_each_field_of_an_index_and_never_crashes",),
    ),
    Mutant(
        "verify names a release that is no JSON",
        "curation/verify/shards.py",
        '    except ValueError as err:\n        found.faults.append(f"{store.where(paths.REL',
        '    except ZeroDivisionError as err:\n        found.faults.append(f"{store.where(paths.REL',
        (f"{HOSTILE}verify_names_a_release_of_another_form",),
    ),
    Mutant(
        "verify names a release that is no object",
        "curation/verify/shards.py",
        '_table(release).get("index_sha256")',
        'release.get("index_sha256")',
        (f"{HOSTILE}verify_names_a_release_of_another_form",),
    ),
    Mutant(
        "verify names a meta.json that is none",
        "curation/verify/shards.py",
        '        except ValueError as err:\n            found.faults.append(f"{where}: sample {key}: its',
        '        except ZeroDivisionError as err:\n            found.faults.append(f"{where}: sample {key}: its',
        (f"{HOSTILE}verify_names_a_payload_that_is_none",),
    ),
    Mutant(
        "verify names a payload that is none",
        "curation/verify/shards.py",
        '        except DamageError as err:\n            found.faults.append(f"{where}: sample {key}: {err}")',
        '        except ZeroDivisionError as err:\n            found.faults.append(f"{where}: sample {key}: {err}")',
        (f"{HOSTILE}verify_names_a_payload_that_is_none",),
    ),
    Mutant(
        "what is told of a split is what is packed",
        "curation/verify/shards.py",
        "    wrong = [key for key, split in samples.items() if told.get(key) != split]",
        "    wrong: list[str] = []",
        ("tests/pack/test_split.py::test_what_is_told_of_a_split_that_is_not_so_is_a_fault",),
    ),
    Mutant(
        "shards with other labels than are imported are named",
        "curation/verify/labels.py",
        '    if packed is not None and packed != (content or ""):',
        "    if False:",
        ("tests/pack/labels/test_imported.py::test_another_file_makes_the_shards_anew_and_none_is_mixed",),
    ),
    Mutant(
        "what a stopped import of labels left is named",
        "curation/verify/labels.py",
        "    if left := sorted(set(keys) - named):",
        "    if left := []:",
        ("tests/pack/labels/test_imported.py::test_damage_to_imported_labels_is_named_and_nothing_is_packed_with_it",),
    ),
    Mutant(
        "a record of maps that cannot be read is named",
        "curation/verify/labels.py",
        "if isinstance(outcomes, DamageError):\n            found.faults.append(",
        "if isinstance(outcomes, DamageError):\n            found.unfinished.append(",
        (
            "tests/pack/labels/test_earthengine.py::test_a_record_that_was_changed_or_torn_is_a_fault_of_verify_and_is_made_again_of_the_maps",
        ),
    ),
    Mutant(
        "a map that is not what was recorded is named",
        "curation/verify/labels.py",
        "if its.key and (wrong := _wrong(store, its)):",
        'if its.key and (wrong := ""):',
        ("tests/pack/labels/test_earthengine.py::test_a_map_that_is_damaged_is_named_by_verify",),
    ),
)

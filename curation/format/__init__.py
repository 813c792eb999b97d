"""The shard format that `shards/README.md` specifies: what packer, verifier and reader share."""

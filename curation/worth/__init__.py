"""What a packed dataset is worth: how its parts differ, what can be learned of it, what may be left out, what eyes say."""

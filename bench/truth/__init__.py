"""The benchmark of truth: clips whose truth is known, our rules and the published ones scored side by side."""

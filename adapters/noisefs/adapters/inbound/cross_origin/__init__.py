"""What a bucket's CORS rules mean: the same for every protocol that browsers' scripts speak."""

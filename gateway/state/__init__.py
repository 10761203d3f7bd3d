"""What several replicas of the gateway share. One protocol (`store`), an embedded store (`memory`), Redis (`redis`), and
one contract test over both."""

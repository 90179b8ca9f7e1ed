storage "consul" { address = "consul:8500" }

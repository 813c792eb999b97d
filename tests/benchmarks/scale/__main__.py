from tests.benchmarks.scale.sizes import main

main()

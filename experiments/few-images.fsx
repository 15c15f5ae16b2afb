// Trains on 3 × 60 photographs in a flat folder with the tool's defaults, which start from the zoo's network for CIFAR-10, and from random weights:
//   dotnet fsi experiments/few-images.fsx imagenette224.tar [--seeds 6] …
#load "prelude.fsx"

open NormFree.Experiments

// Tench, cassette player and chain saw: the first three of Imagenette's classes that CIFAR-10 lacks.
FewImages.run
    fsi.CommandLineArgs
    { Classes = [ "n01440764"; "n02979186"; "n03000684" ]
      Train = 60
      Test = 100
      Seeds = 6
      Page = "experiments/results/few-images.md" }

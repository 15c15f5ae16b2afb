// Trains on 3 × 60 photographs in a flat folder with the tool's defaults, from random weights and from a network that never saw these classes:
//   dotnet fsi experiments/few-images.fsx imagenette224.tar [--init CHECKPOINT] [--seeds 3] …
#load "prelude.fsx"

open NormFree.Experiments

FewImages.run
    fsi.CommandLineArgs
    { Classes = [ "n01440764"; "n02979186"; "n03000684" ]
      Train = 60
      Test = 100
      Seeds = 3
      Init = None
      InitNote =
        "The trained network is a ReActNet-18 of quarter width, trained on 10 000 images of CIFAR-10 for 4 epochs per stage. Of Imagenette's classes, \
         the first three that CIFAR-10 lacks are used: tench, cassette player and chain saw."
      Page = "experiments/results/few-images.md" }

// Trains ReActNet-18, Bi-Real Net-18, VGG-Small and BinaryDenseNet-28 on CIFAR-10 BN-free, with batch norm and without a norm, on the same budget:
//   dotnet fsi experiments/backbones.fsx DATA [--width 0.25] [--epochs 4] …          (DATA: see norms-cifar10.fsx)
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs { Budget.cifar with Width = 0.25; Epochs = 4; Seeds = 1 } (fun script ->
    let question =
        "Does training without batch norm carry over to other binary backbones, with the corrected recipe and an equal budget?"

    Norms.compareBackbones
        script
        Cifar10
        { Script.page script "Three norms on four backbones" question with
            Notes =
                [ "Bi-Real Net, VGG-Small and BinaryDenseNet have no learnable threshold before a sign. Batch norm has one per channel, its bias; \
                   without batch norm there is none."
                  "How the method applies to each kind of block: [docs/method.md](../../docs/method.md#networks)." ] })

// Trains ReActNet-18 on CIFAR-10 without and with batch norm, with real weights in the 1×1 shortcuts, as in ReActNet's own code:
//   dotnet fsi experiments/real-shortcuts.fsx DATA --width 0.25 --epochs 3 --seeds 6 --limit 50000 --test-limit 10000 --lr 2e-3
// DATA: a download of `normfree data get cifar10`, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments
open NormFree.Spec

Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
    let question =
        "Is a binary network without batch norm better than its twin with batch norm if the shortcuts keep real weights?"

    Norms.compareTwins script Cifar10 WeightBinariser.Real (Script.page script "Real shortcuts" question))

// Trains ReActNet-18 on CIFAR-10 without and with batch norm, fully binarised, both from one recipe:
//   dotnet fsi experiments/better-than-batch-norm.fsx DATA --width 0.25 --epochs 3 --seeds 6 --limit 50000 --test-limit 10000 --lr 2e-3
// DATA: a download of `normfree data get cifar10`, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments
open NormFree.Spec

Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
    let question =
        "Is a binary network without batch norm better than its twin with batch norm, after both stages and at an equal budget?"

    Norms.compareTwins
        script
        Cifar10
        WeightBinariser.Binary
        { Script.page script "Better than batch norm" question with
            Notes =
                [ "All binary layers have 1-bit weights, the shortcuts too. Those of the bn-free network are zero-mean: deviation 16 of [docs/method.md](../../docs/method.md)." ] })

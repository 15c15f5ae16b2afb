// Trains ReActNet-18 on CIFAR-10 BN-free, with batch norm and without a norm, on the same budget:
//   dotnet fsi experiments/norms-cifar10.fsx DATA [--epochs 10] [--seeds 2] …
// DATA: a download of `normfree data get cifar10`, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs Budget.cifar (fun script ->
    let question =
        "How much accuracy does a binary ReActNet-18 gain or lose without batch norm, with the corrected recipe and an equal budget?"

    Norms.compare
        script
        Cifar10
        { Script.page script "Three norms on CIFAR-10" question with
            Notes = [ "What makes the difference, and what does not: [docs/method.md](../../docs/method.md)." ] })

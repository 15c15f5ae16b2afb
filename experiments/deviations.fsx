// Corrects each deviation of the published code alone, and all together, for ReActNet-18 on CIFAR-10:
//   dotnet fsi experiments/deviations.fsx DATA [--epochs 5] …          (DATA: see norms-cifar10.fsx)
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 5 } (fun script ->
    let question =
        "What does correcting each deviation of the published code contribute, alone and together?"

    DeviationStudy.variants script.Budget
    |> Script.sweep script script.Name (Script.images Cifar10 script)
    |> Script.publish
        script
        { Script.page script "Deviations on CIFAR-10" question with
            Comparisons = DeviationStudy.comparisons
            Notes = [ "The deviations and their numbers are explained in [docs/method.md](../../docs/method.md)." ] })

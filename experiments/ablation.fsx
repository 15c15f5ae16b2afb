// Measures what each part of the BN-free network and its recipe contributes, for ReActNet-18 on CIFAR-10:
//   dotnet fsi experiments/ablation.fsx DATA [--epochs 3] …          (DATA: see norms-cifar10.fsx)
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments

Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 3 } (fun script ->
    let question =
        "What does each part of the BN-free network and its recipe contribute? Each variant changes one thing of the baseline."

    Ablation.variants script.Budget
    |> Script.sweep script script.Name (Script.images Cifar10 script)
    |> Script.publish
        script
        { Script.page script "Ablation on CIFAR-10" question with Comparisons = Ablation.comparisons })

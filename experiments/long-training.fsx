// Trains ReActNet-18 on all of CIFAR-10 without and with batch norm, one long training of each:
//   dotnet fsi experiments/long-training.fsx DATA [--epochs 20] [--width 0.25] …
// DATA: a download of `normfree data get cifar10`, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Experiments
open NormFree.Spec

let defaults =
    { Budget.cifar with
        Epochs = 20
        Seeds = 1
        Width = 0.25
        Limit = 50000
        TestLimit = 10000
        LearningRate = 2e-3 }

Script.run fsi.CommandLineArgs defaults (fun script ->
    let question =
        "Does the lead of the network without batch norm over its twin with batch norm last in a long training?"

    Norms.compareTwins script Cifar10 WeightBinariser.Binary (Script.page script "A long training" question))

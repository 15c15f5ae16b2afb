// Three norms × two stages, ReActNet-18 on CIFAR-10, equal budget:  dotnet fsi experiments/norms-cifar10.fsx DATA [--epochs 10] [--seeds 2] …
// DATA: what `normfree data get cifar10` fetched, or an archive of train/<class>/*.jpg and test/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget = budget "norms-cifar10.fsx" small
atRoot ()

[ for norm in [ BnFree 0.2; BatchNorm; NoNorm ] ->
      Variant.twoStages (Names.norm norm) (cifar18 budget |> Net.withNorm norm) (recipe budget) ]
|> experiment "norms-cifar10" (images Cifar10 data budget) budget
|> sweep
|> conclude
    budget
    { page
          "Three norms on CIFAR-10"
          "What does a binary ReActNet-18 lose or win without batch norm, with the corrected recipe and an equal budget?" with
        Notes = [ "What made the difference, and what did not: [docs/method.md](../../docs/method.md)." ]
        Compared = [ "bn-free", "batch-norm"; "bn-free", "none" ] }

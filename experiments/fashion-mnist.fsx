// Three norms × two stages, ReActNet-18 on Fashion-MNIST, equal budget:  dotnet fsi experiments/fashion-mnist.fsx DATA [--epochs 10] [--seeds 2] …
// DATA: the folder of the gzipped IDX files; Debian's package dataset-fashion-mnist installs them (dpkg -L names it).
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget = budget "fashion-mnist.fsx" small
atRoot ()

[ for norm in [ BnFree 0.2; BatchNorm; NoNorm ] ->
      Variant.twoStages (Names.norm norm) (cifar18 budget |> Net.withNorm norm) (recipe budget) ]
|> experiment "fashion-mnist" (images FashionMnist data budget) budget
|> sweep
|> conclude
    budget
    { page
          "Three norms on Fashion-MNIST"
          "Are the three norms ranked on another data set as on CIFAR-10: what does a binary ReActNet-18 lose or win without batch norm, with the corrected recipe and an equal budget?" with
        Compared = [ "bn-free", "batch-norm"; "bn-free", "none" ] }

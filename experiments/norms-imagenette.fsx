// Three norms × two stages, ReActNet-A on Imagenette, taught by a full-precision ResNet-18 that is trained first:
//   dotnet fsi experiments/norms-imagenette.fsx DATA [--size 128] [--width 0.5] [--epochs 4] …
// DATA: a folder, .zip or .tar of train/<class>/*.jpg and val/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Experiments
open Prelude

let data, budget =
    budget "norms-imagenette.fsx" { small with Epochs = 4; Seeds = 1; TestLimit = 4000; Batch = 32; Size = 128 }

atRoot ()

let images, size = images ImageFolder data budget, { Size.Full with Width = budget.Width }

let teacher =
    [ { Label = "teacher"
        Net = ResNet.resNet18 size ImageNetStem |> Net.withClasses 10
        First = { recipe budget with WeightDecay = 1e-4 }
        Second = None } ]
    |> experiment "imagenette-teacher" images { budget with Seeds = 1 }
    |> sweep

let taught = { recipe budget with Loss = Distillation(checkpoint teacher) }

let students =
    [ for norm in [ BnFree 0.2; BatchNorm; NoNorm ] ->
          let net = ReActNet.reactNetA size ImageNetStem |> Net.withClasses 10 |> Net.withNorm norm
          Variant.twoStages (Names.norm norm) net taught ]
    |> experiment "norms-imagenette" images budget
    |> sweep

teacher @ students
|> conclude
    budget
    { page
          "Three norms on Imagenette"
          "What does a binary ReActNet-A lose or win without batch norm on photographs, taught by a full-precision ResNet-18 of its own width?" with
        Compared = [ "bn-free", "batch-norm"; "bn-free", "none" ] }

// Trains ReActNet-A on Imagenette in three norms, taught by a full-precision ResNet-18, which is trained first:
//   dotnet fsi experiments/norms-imagenette.fsx DATA [--size 128] [--width 0.5] [--epochs 4] …
// DATA: a folder, .zip or .tar of train/<class>/*.jpg and val/<class>/*.jpg.
#load "prelude.fsx"

open NormFree.Data
open NormFree.Spec
open NormFree.Experiments

let defaults = { Budget.cifar with Epochs = 4; Seeds = 1; TestLimit = 4000; Batch = 32; Size = 128 }

let question =
    "How much accuracy does a binary ReActNet-A gain or lose without batch norm on photographs, taught by a ResNet-18 of its width?"

Script.run fsi.CommandLineArgs defaults (fun script ->
    let images, size = Script.images ImageFolder script, { Size.Full with Width = script.Budget.Width }
    let teacher = ResNet.resNet18 size ImageNetStem |> Net.withClasses 10
    let student = ReActNet.reactNetA size ImageNetStem |> Net.withClasses 10

    { Script.page script "Three norms on Imagenette" question with Comparisons = Norms.comparisons }
    |> Norms.distil script images teacher student)

/// The F# examples of the packages' READMEs, which must compile. DocsTests compares each block with this file, without white space.
module NormFree.Tests.Repository.PackageSnippets

open NormFree.Benchmarks
open NormFree.Data
open NormFree.Experiments
open NormFree.Inference.Files
open NormFree.Interop
open NormFree.Networks
open NormFree.Packing
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Training
open TorchSharp

/// Stands for F# Interactive's <c>fsi</c> in scripts.
type private Fsi = { CommandLineArgs: string[] }

let private spec () =
    let net =
        ReActNet.cifar18
        |> Net.withClasses 10
        |> Net.withNorm (BnFree 0.2)
        |> Net.withSign (SignGradient.SwishSign 5.0)

    match Summary.create 32 32 net with
    | Ok summary -> printfn $"{summary.Layers.Length} layers, {summary.Total.Ops} operations"
    | Error problems -> problems |> List.iter (printfn "%O")

let private data () =
    let images = Dataset.cifar10.At "data/cifar-10-binary.tar.gz"
    let order = Loader.shuffled 1L 0 images.Train.Count

    for batch in Loader.read (Loader.training images 64) images.Train order |> Seq.truncate 2 do
        let first = images.Classes[int batch.Labels[0]]
        printfn $"{batch.Labels.Length} images, the first is a {first}"

let private runs () =
    let recipe = { Recipe.corrected with Epochs = 20; Batch = 64; Clip = Agc 0.02 }
    Recipe.validate recipe |> Result.mapError (List.iter (printfn "%s")) |> ignore

    let run = RunFolder.readRun (RunFolder.at "runs/cifar10")

    for epoch in run.Epochs do
        printfn $"{epoch.Stage} {epoch.Epoch}: {epoch.Test.Top1:P2}"

let private networks () =
    use checkpoint = Checkpoint.load torch.ScalarType.Float32 "runs/cifar10/stage2.best.safetensors"
    use _ = torch.no_grad ()
    let size = int64 checkpoint.ImageTask.Size
    let logits = checkpoint.Network.Forward(torch.rand [| 1L; 3L; size; size |], Evaluate)
    let best = int (logits.argmax().item<int64>())
    printfn $"{checkpoint.ImageTask.Classes[best]}"

let private packing () =
    use checkpoint = Checkpoint.load torch.ScalarType.Float32 "runs/cifar10/stage2.best.safetensors"
    let packed = Packing.ofCheckpoint checkpoint
    PackedFile.Write("cifar10.packed.safetensors", packed.Model)

let private training () =
    let recipe = { Recipe.corrected with Epochs = 20; Batch = 64; Clip = Agc 0.02 }

    Pipeline.from (Dataset.cifar10.At "data/cifar-10-binary.tar.gz")
    |> Pipeline.into "runs/cifar10" // rerunning the script resumes it
    |> Pipeline.train recipe (ReActNet.cifar18 |> Net.withNorm (BnFree 0.2))
    |> Pipeline.binariseWeights recipe
    |> Pipeline.pack
    |> _.Save("cifar10.packed.safetensors")

let private interop () =
    let spec = ReActNet.a |> Net.withBinarise ActivationsAndWeights |> Net.withNorm BatchNorm
    use file = ForeignFile.OpenPyTorch "checkpoint.pth.tar"

    match Import.checkpoint ImportRules.Default spec (Import.task spec 224) file with
    | Ok(checkpoint, report) ->
        printfn $"{report.Loaded} tensors"
        (OnnxLowering.lower OnnxBatch.AnyNumber checkpoint).Save "reactnet.onnx"
    | Error report -> report.Problems |> List.iter (printfn "%s")

let private reporting () =
    let runs = [ "runs/bn-free"; "runs/batch-norm" ] |> List.map (RunFolder.at >> RunFolder.readRun)

    printfn $"{Report.text runs}"
    Report.write "comparison.html" "BN-free and batch norm" (List.map ReportedRun.ofLog runs)

let private experiments () =
    let fsi = { CommandLineArgs = [||] }

    Script.run fsi.CommandLineArgs Budget.cifar (fun script -> // DATA --epochs N --seeds N …
        let recipe = Budget.recipe script.Budget
        let net = Budget.reactNet18 script.Budget

        [ for norm in [ BnFree 0.2; BatchNorm ] -> Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ]
        |> Script.sweep script "norms" (Script.images Cifar10 script)
        |> Script.publish script (Script.page script "Two norms" "Which norm is better?"))

let private benchmarks () =
    let result =
        Bench.train { BenchJob.Default(Net.withNorm (BnFree 0.2) ReActNet.cifar18) with Steps = 20 }

    printfn $"{result.ImagesPerSecond.Median:F0} images a second on {result.Environment.Processor}"

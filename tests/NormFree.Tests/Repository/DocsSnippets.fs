/// The F# blocks of the documentation, which must compile. DocsTests compares each block with this file, without white space.
module NormFree.Tests.Repository.DocsSnippets

open System
open NormFree.Benchmarks
open NormFree.Data
open NormFree.Experiments
open NormFree.Inference
open NormFree.Networks
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Training
open NormFree.Zoo
open TorchSharp

module private Reports =
    let page () =
        ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ { Path = "runs/a" }; { Path = "runs/b" } ]
        |> Report.write "comparison.html" "Two networks"

module private OwnNetwork =
    /// ReActNet-18 at half width for CIFAR-10, without any norm, with other gradients of its signs.
    let narrow =
        ReActNet.reactNet18 { Width = 0.5; Depth = 1.0 } CifarStem
        |> Net.withClasses 10
        |> Net.withNorm NoNorm
        |> Net.withSign (SignGradient.SwishSign 5.0)

    /// Plain PReLUs in place of RPReLUs.
    let simpler =
        ReActNet.cifar18 |> Net.mapBlocks (Blocks.mapActivations (fun _ -> Activation.PReLU "prelu.weight"))

    /// Bi-Real Net-18: one binary convolution per shortcut.
    let biReal18 =
        [ Stem.resNet 64 CifarStem
          yield!
              Stages.blocks 64 [ 64, 4, 1; 128, 4, 2; 256, 4, 2; 512, 4, 2 ] (fun stage ->
                  let project = { Name = "downsample.1"; Norm = "downsample.2"; Weights = WeightBinariser.Real }

                  let shortcut =
                      if stage.Stride = 2 then
                          Shortcut.AveragePoolProject project
                      else
                          Shortcut.Identity

                  [ Part.Binary(Parts.binary "conv" 3 stage.Stride stage.Out); Parts.norm "bn" ]
                  |> Blocks.residual stage.Key shortcut)
          Classifier.pooled ]
        |> Net.create "my-bireal"
        |> Net.withClasses 10

    /// A network without shortcuts.
    let plain =
        [ Blocks.plain "" [ Parts.conv "conv1" 3 1 64; Parts.norm "bn1"; Parts.hardTanh ]
          for number, channels in [ 2, 64; 3, 128; 4, 256 ] do
              Blocks.plain
                  ""
                  [ Part.Binary
                        { Parts.binary $"conv{number}" 3 1 channels with Sign = SignGradient.StraightThrough 1.0 }
                    Parts.maxPool2
                    Parts.norm $"bn{number}"
                    Parts.hardTanh ]
          Classifier.flat 4 ]
        |> Net.create "my-vgg"
        |> Net.withClasses 10

    let operations net =
        match Summary.create 32 32 net with
        | Ok summary -> Ok summary.Total.Ops
        | Error errors -> Error(List.map string errors)

module private OwnLayers =
    /// sign(x) with the gradient of a clipped cubic. The surrogate minus itself is 0, so the value is exactly ±1.
    let cubicSign (x: torch.Tensor) =
        let clipped = x.Between(-1.0, 1.0)
        let surrogate = clipped.Times(1.5).PlusInPlace(clipped * clipped * clipped, -0.5)
        x.detach().sign().Plus(surrogate - surrogate.detach ())

    Extensions.registerSign "cubic" cubicSign
    Extensions.registerActivation "silu" torch.nn.functional.silu

    let net =
        ReActNet.cifar18
        |> Net.withSign (SignGradient.Custom "cubic")
        |> Net.mapBlocks (Blocks.mapActivations (fun _ -> Activation.Custom "silu"))

module private OwnTraining =
    /// Cross entropy of logits divided by 2.
    let softened (logits: torch.Tensor) (labels: torch.Tensor) =
        torch.nn.functional.cross_entropy (logits.Times 0.5, labels)

    Extensions.registerLoss "softened" softened

    /// SignSGD with momentum. The state tensor starts at 0, and checkpoints keep it.
    Extensions.registerOptimiser "sign-sgd" [ "momentum" ] (fun parameter gradient state rate ->
        state[0].TimesInPlace(0.9).PlusInPlace gradient |> ignore
        parameter.Tensor.PlusInPlace(state[0].sign(), -rate) |> ignore)

    let recipe =
        { Recipe.corrected with Loss = CustomLoss "softened"; Optimiser = CustomOptimiser "sign-sgd" }

module private OwnData =
    /// Makes an image brighter or darker by up to 20 grey levels.
    let brightness (random: RandomStream) (image: Image) =
        let shift = random.Below 41 - 20

        { image with
            Pixels = image.Pixels |> Array.map (fun value -> byte (max 0 (min 255 (int value + shift)))) }

    Augment.register "brightness" brightness

    /// Squares of one colour per class: any function that makes images is a source.
    let squares count =
        ImageSource.ofImages
            "squares"
            [| for i in 0 .. count - 1 ->
                   let image = Image.blank 32 32
                   { image with Pixels = Array.create image.Pixels.Length (byte (80 * (i % 3))) }, i % 3 |]

    let dataset: Dataset =
        { Name = "squares"
          Classes = [| "dark"; "grey"; "light" |]
          Train = squares 300
          Test = squares 60
          Normalisation = Normalisation.cifar10
          Size = 32
          Augmentation = { Train = [ PadCrop 4; CustomAugment "brightness"; Flip ]; Test = [] }
          Notes = [] }

module private Samples =
    let sampled images =
        let plan = Pipeline.from images |> Pipeline.into "runs/a" |> Pipeline.telemetry (EverySteps 10) // or Never
        let seen = Telemetry.read (RunFolder.at "runs/a") // seen.Layers, seen.Channels
        plan, seen

/// Stands for F# Interactive's <c>fsi</c> in scripts.
type private Fsi = { CommandLineArgs: string[] }

module private Experiment =
    let private fsi = { CommandLineArgs = [||] }

    let run () =
        Script.run fsi.CommandLineArgs Budget.cifar (fun script -> // DATA --epochs N --seeds N …
            let recipe = Budget.recipe script.Budget
            let net = Budget.reactNet18 script.Budget

            [ for norm in [ BnFree 0.2; BatchNorm ] ->
                  Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ]
            |> Script.sweep script "norms" (Script.images Cifar10 script)
            |> Script.publish
                script
                { Script.page script "Two norms" "Which norm is better?" with
                    Comparisons = [ "bn-free", "batch-norm" ] })

/// The script experiments/own-images.fsx.
module private OwnImages =
    let private fsi = { CommandLineArgs = [||] }

    let run () =
        Script.run fsi.CommandLineArgs { Budget.cifar with Epochs = 30; Batch = 16; Size = 64 } (fun script ->
            let images, recipe = Script.images ImageFolder script, Budget.recipe script.Budget
            let net = Budget.reactNet18 script.Budget |> Net.withClasses images.Classes.Length
            let run = $"runs/{System.IO.DirectoryInfo(script.Data).Name}"

            let plan =
                Pipeline.from images
                |> Pipeline.into run
                |> Pipeline.onEvent (EventText.lines "" (System.TimeSpan.FromSeconds 10.0))

            let packed = plan |> Pipeline.train recipe net |> Pipeline.binariseWeights recipe |> Pipeline.pack
            packed.Save $"{run}/packed.safetensors")

module private Pretrained =
    let show (rgb: byte[]) height width =
        use pretrained = PackedNetwork.Pretrained "cifar10-reactnet18"
        let scores: float32[] = Array.zeroCreate pretrained.Classes
        pretrained.Run(ImageInput.Of(pretrained.Model, ReadOnlySpan rgb, height, width), scores)
        printfn $"{pretrained.ClassNames[Array.findIndex ((=) (Array.max scores)) scores]}"

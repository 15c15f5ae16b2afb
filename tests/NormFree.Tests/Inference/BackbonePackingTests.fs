/// Packed networks of every kind of block agree with the composite network, layer by layer.
module NormFree.Tests.Inference.BackbonePackingTests

open Expecto
open NormFree.Spec
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Tests.Data.Support
open NormFree.Tests.Interop
open NormFree.Tests.Spec
open TorchSharp

let private single = torch.ScalarType.Float32

let private narrow = { Width = 0.125; Depth = 0.5 }

let private backbones =
    [ BiRealNet.biReal18 narrow CifarStem, 32
      BiRealNet.biReal18 narrow ImageNetStem, 64
      VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem, 32
      BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] CifarStem, 32
      XnorResNet.xnorResNet18 narrow CifarStem, 32
      BinaryMlp.binaryMlp { Width = 0.03; Depth = 1.0 } CifarStem, 32
      QuickNet.quickNet narrow CifarStem, 32 ]

let private networks =
    [ for net, size in backbones do
          for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
              let net = net |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise ActivationsAndWeights
              $"{net.Name}, {Names.norm norm}, {size}×{size} images", size, net ]

/// The packed network of a checkpoint agrees with it, and its file gives the same network.
let private agrees size net =
    use network = Networks.trained single 1L net |> Network.running Execution.Portable
    use images = Networks.noise single 1L 2 size
    let checkpoint = Support.asCheckpoint size network
    let model = (Packing.ofCheckpoint checkpoint).Model
    use packed = PackedNetwork.From model
    let report = Verification.run checkpoint model (PackedRunner.ofNetwork packed) images
    Expect.isEmpty report.Mismatches "mismatches"

    use folder = new TempFolder()
    let path = folder.File "packed.safetensors"
    PackedFile.Write(path, model)
    use again = PackedNetwork.From(PackedFile.Read path)
    let image = (images.flatten().data<float32>().ToArray())[.. 3 * size * size - 1]
    let logits (network: PackedNetwork) = (PackedRunner.ofNetwork network).Run image size size
    Expect.equal (logits again) (logits packed) "logits of the file's network"

/// The packed network of a network without ties has its logits. Verification takes its shortcuts from the packed steps; this does not.
let private hasOwnLogits size net =
    use network = Networks.trained single 1L net |> Network.running Execution.Portable
    use image = Networks.noise single 1L 1 size
    use packed = PackedNetwork.From (Packing.ofCheckpoint (Support.asCheckpoint size network)).Model
    use logits = Support.logits network image
    let found = (PackedRunner.ofNetwork packed).Run (image.flatten().data<float32>().ToArray()) size size
    let difference, largest = Differences.between found (logits.flatten().data<float>().ToArray())
    Expect.isLessThan difference (1e-5 * largest) "difference of the logits"

/// Residual blocks of activations only, whose layers are named after their blocks' common key.
let private repeated =
    let pooled = Blocks.residual "a" Shortcut.AveragePool [ Part.AveragePool 2; Parts.relu ]

    Net.create
        "repeated"
        [ Stem.resNet 16 CifarStem
          pooled
          pooled
          Blocks.plain "b" [ Part.Binary(Parts.binary "conv" 3 1 16) ]
          Classifier.pooled ]
    |> Net.withClasses 10
    |> Net.withBinarise ActivationsAndWeights

/// Why a random network has no packed form; None if it has one.
let private reason net =
    try
        PackedStep.ofNet net |> ignore
        None
    with :? TrainingException as e ->
        Some e.Message

let private random =
    [ for seed in 1L .. 40L do
          let net = RandomSpecs.net seed |> Net.withBinarise ActivationsAndWeights

          test $"{net.Name}, packed or refused by name" {
              match reason net with
              | None -> agrees RandomSpecs.side net
              | Some why -> Expect.stringContains why "packed files" "the reason"
          }

      test "most random networks without groups and dilation can be packed" {
          let plain seed =
              RandomSpecs.net seed
              |> Net.withBinarise ActivationsAndWeights
              |> Net.mapBlocks (Blocks.mapBinary (fun conv -> { conv with Groups = 1; Dilation = 1 }))

          let packable = [ 1L .. 40L ] |> List.filter (plain >> reason >> Option.isNone)
          Expect.isGreaterThan packable.Length 15 "packable networks"
      } ]

let tests =
    testList
        "backbones"
        [ for title, size, net in networks do
              test title { agrees size net }
          test "residual blocks that repeat their layers' names" {
              agrees 32 repeated
              hasOwnLogits 32 repeated
          }
          yield! random ]

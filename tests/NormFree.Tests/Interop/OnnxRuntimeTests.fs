/// Exported networks in ONNX Runtime, an independent implementation of the operators.
module NormFree.Tests.Interop.OnnxRuntimeTests

open System
open System.IO
open Microsoft.ML.OnnxRuntime
open Expecto
open NormFree.Cli
open NormFree.Formats.Onnx
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Interop.Support
open TorchSharp

/// Difference of float32 logits, relative to the largest of an image: sums of some thousand products in another order.
let private tolerance = 1e-4

/// Runs a file on images (N×3×S×S) and gives N×classes logits.
let private runtime (path: string) (images: torch.Tensor) =
    OnnxVerification.logits (OnnxRuntime()) (File.ReadAllBytes path) images |> Array.map float

let private noise (seed: int64) (size: int) =
    use generator = new torch.Generator(uint64 seed)
    torch.randn ([| 1L; 3L; int64 size; int64 size |], dtype = torch.ScalarType.Float32, generator = generator)

/// Whether the logits agree; where they do not, a sign must have been close enough to 0 to turn.
let private agrees path (model: OnnxModel) (network: Network) (image: torch.Tensor) =
    use _ = torch.NewDisposeScope()
    let ours, theirs = Agreement.values (logits network image), runtime path image
    let scale = ours |> Array.map abs |> Array.max
    let difference = Array.map2 (fun (a: float) b -> abs (a - b)) ours theirs |> Array.max
    let agree = difference <= tolerance * scale

    if not agree then
        let near = (OnnxVerification.signInputs (OnnxRuntime()) model image).NearZero
        Expect.isGreaterThan near 0L $"logits differ by {difference} of {scale} although no value is near 0"

    agree

/// Exports, and compares images until so many agree: most do in a small network, fewer in a large one.
let private compare (dtype: torch.ScalarType) spec size images least =
    use folder = new TempFolder()
    use checkpoint = filled dtype spec |> asCheckpoint size
    let path = folder.File "network.onnx"
    let comparison = Export.onnx (OnnxRuntime()) OneImage checkpoint path
    Expect.isTrue comparison.Agrees "the tool's own comparison"
    let model = OnnxLowering.lower OneImage checkpoint

    let agreeing =
        Seq.init images (fun i -> noise (int64 i) size)
        |> Seq.filter (agrees path model checkpoint.Network)
        |> Seq.length

    Expect.isGreaterThanOrEqual agreeing least $"images of {images} that agree"

let private variants (table: Size -> StemKind -> NetSpec) size =
    [ for norm in [ BatchNorm; NoNorm; BnFree 0.2 ] do
          for binarise in [ Activations; ActivationsAndWeights ] do
              table size CifarStem |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise binarise ]

/// Networks whose shortcuts have other weights than the published ones.
let private shortcuts table size =
    [ for norm in [ BatchNorm; BnFree 0.2 ] do
          for weights in [ WeightBinariser.ZeroMean; WeightBinariser.Real ] do
              table size CifarStem
              |> Net.withClasses 10
              |> Net.withNorm norm
              |> Net.withBinarise ActivationsAndWeights
              |> Net.withShortcutWeights weights ]

let private name (spec: NetSpec) =
    match Net.tryBinary spec with
    | Some body ->
        let shortcuts =
            Net.shortcutWeights spec |> Option.map Names.weights |> Option.defaultValue "no projected"

        $"{spec.Name} {Names.norm body.Norm} {Names.binarise body.Binarise}, {shortcuts} shortcuts"
    | None -> spec.Name

let private narrow = { Width = 0.125; Depth = 0.5 }

let private full table =
    let spec = table Size.Full ImageNetStem |> Net.withClasses 10 |> Net.withBinarise ActivationsAndWeights
    test $"full {name spec}" { compare torch.ScalarType.Float32 spec 64 3 1 }

let private agreement =
    testList
        "agrees with ONNX Runtime"
        [ for spec in
              variants ReActNet.reactNet18 narrow
              @ shortcuts ReActNet.reactNet18 narrow
              @ variants ReActNet.reactNetA narrow do
              test $"narrow {name spec}" { compare torch.ScalarType.Float32 spec 32 6 4 }

          full ReActNet.reactNet18

          for spec in
              [ BiRealNet.biReal18 narrow CifarStem
                VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem
                XnorResNet.xnorResNet18 narrow CifarStem
                BinaryMlp.binaryMlp { Width = 0.03; Depth = 1.0 } CifarStem
                QuickNet.quickNet narrow CifarStem
                BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] CifarStem ] do
              // Without shortcuts and norms, sums of signs are often exactly 0, and rounding decides.
              for norm, least in [ BatchNorm, 3; BnFree 0.2, (if spec.Name = "bireal-18" then 3 else 0) ] do
                  let spec = spec |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise ActivationsAndWeights

                  test $"narrow {name spec}" { compare torch.ScalarType.Float32 spec 32 6 least }

          for seed in 1L .. 6L do
              let spec = NormFree.Tests.Spec.RandomSpecs.net seed
              test $"{name spec}" { compare torch.ScalarType.Float32 spec NormFree.Tests.Spec.RandomSpecs.side 6 0 }

          test "narrow resnet-18, a teacher" {
              compare torch.ScalarType.Float32 (ResNet.resNet18 narrow CifarStem |> Net.withClasses 10) 32 3 3
          }

          test "a checkpoint in float64 is exported in float32" {
              compare torch.ScalarType.Float64 (small (BnFree 0.2)) 32 4 2
          } ]

let private exported batch spec (inspect: string -> OnnxModel -> Network -> unit) =
    use folder = new TempFolder()
    use checkpoint = filled torch.ScalarType.Float32 spec |> asCheckpoint 32
    let path = folder.File "network.onnx"
    Export.onnx (OnnxRuntime()) batch checkpoint path |> ignore
    inspect path (OnnxLowering.lower batch checkpoint) checkpoint.Network

/// Elements of a constant.
let private elements (tensor: OnnxTensor) =
    (Runtime.InteropServices.MemoryMarshal.Cast<byte, float32> tensor.Bytes.Span).ToArray()

let private shape =
    testList
        "an exported graph"
        [ test "has a Sign for every binary layer, and weights of -1 and +1 for their convolutions" {
              exported OneImage (small (BnFree 0.2)) (fun _ model network ->
                  let layers = (Lowering.layers network.Spec).Length

                  let signs =
                      model.Graph.Nodes
                      |> Seq.filter (fun node -> node.Operator = "Sign")
                      |> Seq.map (fun node -> node.Outputs[0])
                      |> set

                  Expect.equal signs.Count layers "signs"
                  let constants = dict [ for constant in model.Graph.Constants -> constant.Name, constant ]

                  let binary =
                      model.Graph.Nodes
                      |> Seq.filter (fun node -> node.Operator = "Conv" && signs.Contains node.Inputs[0])
                      |> Seq.toList

                  Expect.hasLength binary layers "binary convolutions"

                  for node in binary do
                      Expect.equal (set (elements constants[node.Inputs[1]])) (set [ -1.0f; 1.0f ]) node.Name)
          }

          test "takes one image, or any number of them" {
              exported OneImage (small NoNorm) (fun path model _ ->
                  Expect.equal model.Graph.Inputs[0].Dimensions[0] (OnnxDimension.Of 1L) "one"

                  Expect.throwsT<OnnxRuntimeException>
                      (fun () -> runtime path (waves 2 32) |> ignore)
                      "two are refused")

              exported AnyNumber (small NoNorm) (fun path model _ ->
                  Expect.equal model.Graph.Inputs[0].Dimensions[0] (OnnxDimension.Open "batch") "any"
                  let three = runtime path (waves 3 32)
                  Expect.hasLength three 30 "logits of three images"

                  Expect.sequenceEqual
                      (Array.truncate 10 three)
                      (runtime path ((waves 3 32).narrow(0L, 0L, 1L)))
                      "an image by itself")
          }

          test "says which network and which images it is for" {
              exported OneImage (small BatchNorm) (fun path model network ->
                  Expect.equal model.Opset 17L "opset"
                  use session = new InferenceSession(path)
                  let metadata = session.ModelMetadata.CustomMetadataMap
                  Expect.equal (Json.read<NetSpec> metadata["normfree.spec"]) (Ok network.Spec) "spec"
                  Expect.stringContains metadata["normfree.normalisation"] "0.4914" "normalisation")
          } ]

/// A network with a value that is not finite in its classifier.
let private spoiled (value: float) =
    let checkpoint = filled torch.ScalarType.Float32 (small (BnFree 0.2)) |> asCheckpoint 32
    use _ = torch.no_grad ()
    let bias = checkpoint.Network.Tensors |> Seq.find (fun (name, _) -> name = "fc.bias") |> snd
    bias[0].fill_(value.ToScalar()) |> ignore
    checkpoint

let private failures =
    testList
        "an export that fails"
        [ for value in [ nan; infinity ] do
              test $"does not write a network with {value}, and keeps the old file" {
                  use folder = new TempFolder()
                  use checkpoint = spoiled value
                  let path = folder.Write("network.onnx", "old"B)
                  let comparison = Export.onnx (OnnxRuntime()) OneImage checkpoint path
                  Expect.isFalse comparison.Agrees "agrees"
                  Expect.equal (File.ReadAllBytes path) "old"B "the old file"
                  Expect.hasLength (Directory.GetFileSystemEntries folder.Path) 1 "files"
              }

          test "because the runtime throws leaves no file" {
              use folder = new TempFolder()
              use checkpoint = filled torch.ScalarType.Float32 (small NoNorm) |> asCheckpoint 32

              let broken =
                  { new IOnnxRuntime with
                      member _.Run(_, _, _, _) = invalidOp "the runtime failed" }

              Expect.throwsT<InvalidOperationException>
                  (fun () -> Export.onnx broken OneImage checkpoint (folder.File "network.onnx") |> ignore)
                  "comes through"

              Expect.isEmpty (Directory.GetFileSystemEntries folder.Path) "files"
          } ]

let tests = testList "ONNX Runtime" [ agreement; shape; failures ]

let soak = testList "agrees with ONNX Runtime" [ full ReActNet.reactNetA ]

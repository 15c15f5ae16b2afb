/// Round trips with PyTorch: its file to a checkpoint to the same logits, and to a file that it reads as its own.
module NormFree.Tests.Interop.PyTorchTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Interop.Support
open NormFree.Tests.Training
open TorchSharp

let private answers (folder: TempFolder) =
    GoldenFiles.floats "logits" ((nonNull (JsonNode.Parse(File.ReadAllText(folder.File "answers.json")))).AsObject())

/// What `normfree predict --precision float64` gives for the images that pytorch.py uses.
let private predict (folder: TempFolder) (checkpoint: string) size =
    use _ = torch.NewDisposeScope()
    let input, output = folder.File "input.safetensors", folder.File "logits.safetensors"
    let images = waves 2 size

    SafetensorsWriter().Add("input", DType.F64, ReadOnlySpan images.shape, ReadOnlyMemory(Support.bits images)).Save
        input

    RawTensors.predictDouble Execution.Default checkpoint input output
    use file = SafetensorsFile.Open output
    torch.tensor(file.ReadAsDouble file["logits"]).MoveToOuterDisposeScope()

let private roundTrip spec size make =
    use _ = torch.NewDisposeScope()
    use folder = new TempFolder()
    PyTorch.ask "done" (make folder.Path)
    use zip = ForeignFile.OpenPyTorch(folder.File "zip.pth")
    use stream = ForeignFile.OpenPyTorch(folder.File "stream.pth")
    let network, report = imported Strict spec zip
    use checkpoint = asCheckpoint size network
    let twin, again = imported Strict spec stream
    use twin = twin
    Expect.isTrue (report.IsComplete && again.IsComplete) "complete"
    Support.sameBits (Support.tensorBits network) (Support.tensorBits twin) "both formats"

    let path = folder.File "checkpoint.safetensors"
    Checkpoint.save path None checkpoint
    Agreement.allClose Closeness.tight (predict folder path size) (answers folder) "logits"

    let back = folder.File "back.pth"
    Expect.equal (Export.pytorch checkpoint back).Largest 0.0 "the tool's own comparison"
    PyTorch.ask "same" [ "same"; folder.File "zip.pth"; back ]

let private variants =
    [ for arch, table, size in [ "18", ReActNet.cifar18, 32; "A", ReActNet.a, 64 ] do
          for word, norm in [ "bn", BatchNorm; "none", NoNorm; "bf", BnFree 0.2 ] do
              for binary, binarise in [ "0", Activations; "1", ActivationsAndWeights ] do
                  let spec = table |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise binarise
                  arch, word, binary, spec, size ]

let private networks variants =
    [ for arch, word, binary, spec, size in variants do
          let body = (Net.tryBinary spec).Value

          test $"{spec.Name} {Names.norm body.Norm} {Names.binarise body.Binarise}" {
              PyTorch.require false
              roundTrip spec size (fun folder -> [ "make"; arch; word; binary; folder ])
          } ]

/// One process answers, and each test holds networks of a hundred megabytes.
let private inTurn name tests = testSequencedGroup "PyTorch" (testList name tests)

/// The two networks that differ most.
let private quick, others =
    variants
    |> List.partition (fun (arch, norm, binary, _, _) ->
        (arch, norm, binary) = ("18", "bf", "1") || (arch, norm, binary) = ("A", "bn", "0"))

let tests =
    inTurn
        "round trip with PyTorch"
        [ yield! networks quick

          test "torchvision's resnet34 as a teacher" {
              PyTorch.require true
              roundTrip ResNet.r34 64 (fun folder -> [ "teacher"; folder ])
          } ]

let soak = inTurn "round trip with PyTorch" (networks others)

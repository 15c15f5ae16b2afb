/// Options of what a command reads and writes.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Files

open NormFree.Cli
open System

let private files option = Opt.group "Input and output" option

let checkpoint =
    Opt.path "--checkpoint" "FILE" "Checkpoint or packed file of the network, or zoo:NAME." |> files

let packed = Opt.path "--packed" "FILE" "Packed file of the network, or zoo:NAME." |> files
let input = Opt.path "--input" "FILE" "Safetensors file with 'input', N×3×H×W, normalised." |> files
let output = Opt.path "--output" "FILE" "Safetensors file to write 'logits' to, N×classes." |> files

let top =
    Opt.whole "--top" "N" (1, 1_000_000) "Classes to print per image." |> Opt.defaultsTo "3" |> files

let json = Opt.flag "--json" "Print one JSON object." |> files
let file = Opt.path "--out" "FILE" "File to write." |> files

let format =
    Opt.choice
        "--format"
        "NAME"
        [ "pytorch", ExportFormat.PyTorch
          "safetensors", ExportFormat.Safetensors
          "onnx", ExportFormat.Onnx
          "packed", ExportFormat.Packed ]
        "File format."
    |> files

let dynamicBatch =
    Opt.flag "--dynamic-batch" "ONNX: accept any number of images instead of one." |> files

let flatWeights =
    Opt.flag
        "--flat-weights"
        "PyTorch: one-bit filters as N×1 'weights', as the code of ReActNet's MobileNet and of Bi-Real Net has them."
    |> files

let pytorch = Opt.path "--pytorch" "FILE" "File written by torch.save: .pt, .pth, .pth.tar." |> files
let safetensors = Opt.path "--safetensors" "FILE" "Safetensors file." |> files

let weights =
    Opt.text "--weights" "NAME" "Which state dict of the PyTorch file, such as ema (default: not an average)."
    |> files

let allowNonFinite = Opt.flag "--allow-nonfinite" "Import weights that are NaN or infinite." |> files
let partial = Opt.flag "--partial" "Load the tensors that fit and list the others." |> files
let title = Opt.text "--title" "TEXT" "Heading of the page." |> files
let runFolder = Opt.path "--run" "FOLDER" "Run folder of the network." |> files

let withCheckpoint =
    Opt.flag "--with-checkpoint" "Add the checkpoint too, to start trainings from." |> files

let trainedBy = Opt.text "--command" "TEXT" "Command line of the script that trained the run." |> files

let noSpeed = Opt.flag "--no-speed" "Do not measure the speed of packed networks." |> files

let verifyImages =
    Opt.whole "--images" "N" (1, 65_536) "Images to compare layers on." |> Opt.defaultsTo "2" |> files

let retries =
    Opt.whole "--retries" "N" (0, 100) "Retries for each address, the first after a second, each after twice the pause."
    |> Opt.defaultsTo "4"
    |> files

let mirror =
    Opt.custom
        "--mirror"
        "URL"
        ValueKind.Text
        "an address such as https://example.org/cifar/"
        "Address of a mirror."
        (fun text ->
            match Uri.TryCreate(text, UriKind.Absolute) with
            | true, address -> Some(nonNull address)
            | _ -> None)
    |> files

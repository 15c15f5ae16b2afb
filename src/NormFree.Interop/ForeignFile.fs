namespace NormFree.Interop

open System
open NormFree.Archives.PyTorch
open NormFree.Formats.Safetensors

/// <summary>A tensor of a file; <c>Read</c> returns its elements, row-major and little-endian.</summary>
type ForeignTensor =
    {
        /// The key in the file.
        Key: string
        DType: DType
        Shape: int64 list
        Read: unit -> byte[]
    }

/// <summary>Which of a checkpoint's values are read.</summary>
type ForeignContent =
    {
        /// The keys that lead to the dictionary of tensors, joined by dots; <c>.</c> if the whole file is that dictionary.
        Weights: string
        /// The other dictionaries of as many tensors as a network can have, such as an exponential moving average, and how many each holds.
        OtherWeights: (string * int) list
        /// Values that are not tensors of a network: the epoch, an optimiser, arguments.
        Skipped: string list
    }

[<AutoOpen>]
module private NetworkSize =

    /// A network has at least a stem, a layer, and a classifier with its bias. Smaller dictionaries hold statistics or random states.
    [<Literal>]
    let MinTensors = 4

/// <summary>A file of named tensors in any supported format.</summary>
/// <remarks>Dispose it to close the file.</remarks>
[<Sealed>]
type ForeignFile private (path: string, tensors: ForeignTensor list, content: ForeignContent, close: unit -> unit) =

    /// <summary>The path that was opened.</summary>
    member _.Path = path

    /// <summary>The tensors in the order of the file.</summary>
    member _.Tensors = tensors

    /// <summary>What was read of the file, and what was not.</summary>
    member _.Content = content

    /// <summary>Opens a file of <c>torch.save</c> that holds one or several dictionaries of tensors, alone or beside other values.</summary>
    /// <remarks>
    /// <c>weights</c> names one of several dictionaries by its keys or its last key; <c>ema</c> is any moving average. None prefers the weights
    /// themselves to averages. Throws InvalidFileException if the file has no such dictionary, IOException if it cannot be read.
    /// </remarks>
    static member OpenPyTorchWeights(path: string, weights: string option) =
        let file = PyTorchFile.Open(path, Option.toObj weights)

        let tensors =
            [ for tensor in file.Tensors ->
                  { Key = tensor.Name; DType = tensor.DType; Shape = List.ofSeq tensor.Shape; Read = tensor.ToBytes } ]

        let others, small =
            [ for struct (path, count) in file.Dictionaries do
                  if path <> file.Weights && path <> "." then
                      path, count ]
            |> List.partition (fun (_, count) -> count >= MinTensors)

        let content =
            { Weights = file.Weights
              OtherWeights = others
              Skipped = List.concat [ List.ofSeq file.OtherEntries; List.ofSeq file.Skipped; List.map fst small ] }

        new ForeignFile(path, tensors, content, ignore)

    /// <summary>Opens the preferred weights of a file of <c>torch.save</c>. Throws as <c>OpenPyTorchWeights</c> does.</summary>
    static member OpenPyTorch(path: string) = ForeignFile.OpenPyTorchWeights(path, None)

    /// <summary>Opens a safetensors file. Its metadata is ignored.</summary>
    /// <remarks>Throws InvalidFileException if it is not such a file, IOException if it cannot be read.</remarks>
    static member OpenSafetensors(path: string) =
        let file = SafetensorsFile.Open path

        let tensors =
            [ for entry in file.Tensors ->
                  { Key = entry.Name
                    DType = entry.DType
                    Shape = List.ofSeq entry.Shape
                    Read = fun () -> file.ReadBytes entry } ]

        new ForeignFile(path, tensors, { Weights = "."; OtherWeights = []; Skipped = [] }, file.Dispose)

    interface IDisposable with
        member _.Dispose() = close ()

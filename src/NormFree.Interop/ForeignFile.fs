namespace NormFree.Interop

open System
open NormFree.Archives.PyTorch
open NormFree.Formats.Safetensors

/// <summary>A tensor of a file that others have written; <c>Read</c> gives its elements, row-major and little-endian.</summary>
type ForeignTensor =
    {
        /// As the file has it.
        Key: string
        DType: DType
        Shape: int64 list
        Read: unit -> byte[]
    }

/// <summary>A file of named tensors, whoever has written it and in whichever of the formats.</summary>
/// <remarks>Dispose it to close the file.</remarks>
[<Sealed>]
type ForeignFile private (path: string, tensors: ForeignTensor list, others: string list, close: unit -> unit) =

    /// <summary>The file, as it was named.</summary>
    member _.Path = path

    /// <summary>Its tensors in its own order.</summary>
    member _.Tensors = tensors

    /// <summary>Keys of what it holds among the tensors and is none.</summary>
    member _.Others = others

    /// <summary>Reads what <c>torch.save</c> has written: a state dictionary, alone or under <c>state_dict</c> or <c>model</c>.</summary>
    /// <remarks>Throws InvalidFileException where the file is none, or asks for more than tensors need; IOException where it cannot be read.</remarks>
    static member OpenPyTorch(path: string) =
        let file = PyTorchFile.Open path

        let tensors =
            [ for tensor in file.Tensors ->
                  { Key = tensor.Name; DType = tensor.DType; Shape = List.ofSeq tensor.Shape; Read = tensor.ToBytes } ]

        new ForeignFile(path, tensors, List.ofSeq file.OtherEntries, ignore)

    /// <summary>Opens a safetensors file; its metadata is not looked at.</summary>
    /// <remarks>Throws InvalidFileException where the file is none, IOException where it cannot be read.</remarks>
    static member OpenSafetensors(path: string) =
        let file = SafetensorsFile.Open path

        let tensors =
            [ for entry in file.Tensors ->
                  { Key = entry.Name
                    DType = entry.DType
                    Shape = List.ofSeq entry.Shape
                    Read = fun () -> file.ReadBytes entry } ]

        new ForeignFile(path, tensors, [], file.Dispose)

    interface IDisposable with
        member _.Dispose() = close ()

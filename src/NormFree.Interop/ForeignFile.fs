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

/// <summary>A file of named tensors in any supported format.</summary>
/// <remarks>Dispose it to close the file.</remarks>
[<Sealed>]
type ForeignFile private (path: string, tensors: ForeignTensor list, others: string list, close: unit -> unit) =

    /// <summary>The path that was opened.</summary>
    member _.Path = path

    /// <summary>The tensors in the order of the file.</summary>
    member _.Tensors = tensors

    /// <summary>Keys of entries that are not tensors.</summary>
    member _.Others = others

    /// <summary>Opens a file of <c>torch.save</c>: a state dictionary, alone or under the key <c>state_dict</c> or <c>model</c>.</summary>
    /// <remarks>Throws InvalidFileException if it is not such a file or references anything but tensors, IOException if it cannot be read.</remarks>
    static member OpenPyTorch(path: string) =
        let file = PyTorchFile.Open path

        let tensors =
            [ for tensor in file.Tensors ->
                  { Key = tensor.Name; DType = tensor.DType; Shape = List.ofSeq tensor.Shape; Read = tensor.ToBytes } ]

        new ForeignFile(path, tensors, List.ofSeq file.OtherEntries, ignore)

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

        new ForeignFile(path, tensors, [], file.Dispose)

    interface IDisposable with
        member _.Dispose() = close ()

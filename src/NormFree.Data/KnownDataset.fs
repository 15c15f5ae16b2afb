namespace NormFree.Data

/// <summary>A known data set, whose classes and input size are available without its files.</summary>
/// <example><code>
/// let dataset = Dataset.cifar10.At "data/cifar-10-binary.tar.gz"
/// </code></example>
type KnownDataset =
    {
        Kind: DatasetKind
        /// Names by label.
        Classes: string[]
        /// Side of the network's input in pixels.
        Size: int
    }

    /// <summary>Opens its files with these options.</summary>
    member this.With(path: string option, options) = Catalogue.load this.Kind path options

    /// <summary>Opens its files. For scripts: errors are exceptions.</summary>
    /// <exception cref="T:NormFree.Data.DataException">The files cannot be used. The message contains all errors.</exception>
    member this.At(path: string) =
        match this.With(Some path, Catalogue.defaults) with
        | Ok dataset -> dataset
        | Error errors -> raise (DataException(errors |> List.map string |> String.concat "\n"))

/// <summary>The known data sets, as members of <c>Dataset</c>.</summary>
[<AutoOpen>]
module KnownDatasets =
    module Dataset =
        let private known kind classes = { Kind = kind; Classes = classes; Size = 32 }

        let cifar10 = known Cifar10 (Cifar.classes Cifar.Ten)
        /// With fine labels.
        let cifar100 = known Cifar100 (Cifar.classes Cifar.HundredFine)
        let fashionMnist = known FashionMnist (IdxSet.classes IdxSet.FashionMnist)
        let mnist = known Mnist (IdxSet.classes IdxSet.Mnist)
        /// Ignores the path. See also <c>Synthetic.standard</c>.
        let synthetic = known DatasetKind.Synthetic Synthetic.classes

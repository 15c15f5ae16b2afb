namespace NormFree.Data

/// <summary>A data set by name: what a network must know of it is known before its files are there.</summary>
/// <example><code>
/// let dataset = Dataset.cifar10.At "data/cifar-10-binary.tar.gz"
/// </code></example>
type KnownDataset =
    {
        Kind: DatasetKind
        /// Names by label.
        Classes: string[]
        /// Pixels along a side of the network's input.
        Size: int
    }

    /// <summary>Opens its files with these options.</summary>
    member this.With(path: string option, options) = Catalogue.load this.Kind path options

    /// <summary>Opens its files. For scripts: what is wrong is an exception.</summary>
    /// <exception cref="T:NormFree.Data.DataException">The files cannot be used; the message holds all
    /// errors.</exception>
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
        /// With its fine labels.
        let cifar100 = known Cifar100 (Cifar.classes Cifar.HundredFine)
        let fashionMnist = known FashionMnist FashionMnist.classes
        /// Its images need no path: see also <c>Synthetic.standard</c>.
        let drawn = known DatasetKind.Synthetic Synthetic.classes

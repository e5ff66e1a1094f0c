"""What HTML says to somebody who sees no HTML."""

import pytest

from syncservice.domain.html_text import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("Hi", "Hi", id="no markup"),
        pytest.param("<p>Hi <b>Bob</b>,</p>\n<p>Bye", "Hi Bob,\n\nBye", id="paragraphs"),
        pytest.param("<div>a</div><div>b</div>", "a\nb", id="lines"),
        pytest.param("a<br>b<BR/><br />c", "a\nb\n\nc", id="line breaks"),
        pytest.param(" a \n\t b <i> </i> c ", "a b c", id="white space is one space"),
        pytest.param("&lt;c&gt; &amp;amp; &#0;", "<c> &amp; \ufffd", id="entities"),
        pytest.param("a&nbsp;&nbsp;b", "a  b", id="spaces that are meant"),
        pytest.param("<pre>if a:\n  b</pre>c", "if a:\n  b\n\nc", id="what is laid out stays so"),
        pytest.param("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc", id="a list"),
        pytest.param("<table><tr><td>a<td>b<tr><td>c</table>", "ab\nc", id="a table, unclosed"),
        pytest.param("<tr><td>a</td><td>b</td></tr>", "a b", id="a row"),
        pytest.param(
            '<a href="https://x.test/?a&amp;b">here</a>', "here <https://x.test/?a&b>", id="a link"
        ),
        pytest.param("<a href=https://x.test>x.test</a>", "x.test", id="a link that says where"),
        pytest.param("<a href='mailto:a@x.test'>a@x.test</a>", "a@x.test", id="an address"),
        pytest.param("<a href='https://x.test'><img></a>", "<https://x.test>", id="no words"),
        pytest.param("<a href='javascript:x()'>here</a>", "here", id="a link to nowhere"),
        pytest.param('<img src="cid:a" alt="Our logo">', "Our logo", id="a picture's words"),
        pytest.param("<style>p {}</style><script>a<b</script>Hi<!-- no <b> -->", "Hi", id="unseen"),
        pytest.param("<!DOCTYPE html><?xml x?>Hi<![if mso]>", "Hi", id="declarations"),
        pytest.param("1 < 2 > 1 <", "1 < 2 > 1 <", id="signs that are no markup"),
        pytest.param("Hi<!-- for ever", "Hi", id="a comment without an end"),
        pytest.param("Hi<style>for ever", "Hi", id="a style without an end"),
        pytest.param("a</pre></a></p>b", "a\n\nb", id="ends without a beginning"),
    ],
)  # fmt: skip
def test_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "piece",
    ["<a href='", '<a href="', "<!--", "<!", "</", "<style>", "<a ", "<pre> ", "<p> ", " ", "&#"],
)
def test_broken_markup_costs_no_more_than_good(piece: str) -> None:
    text_of(piece * 300_000)  # html.parser takes hours
